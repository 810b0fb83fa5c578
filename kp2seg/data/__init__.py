"""Data sets of people (or of any class) with keypoints and masks.

problems         what is wrong with a file, counted and named
coco_json        the one reader and checker of COCO JSON that every data set goes through
masks            polygons and RLE, checked against the picture's size
image_files      pictures that are missing, cut short, or outside their folder
cocopersons      the published choice of COCO's people
ochuman          ochuman.json and the official COCO-format files
scenes           rendered scenes of overlapping objects as COCO JSON
catalog          names → data; `register_datasets` puts them into Detectron2's catalogue
"""
