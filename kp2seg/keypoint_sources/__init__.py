"""Where the keypoints of a picture come from: for an image id, a list of poses.

poses            `Pose`, a table of them by picture, and what was left out
layouts          the joints of each detector and data set, as a table of names
oks              object keypoint similarity, COCO's, and suppression of double poses with it
annotated        a data set's own keypoints
results          COCO results, AlphaPose's and OpenPose's files, matched to pictures
"""
