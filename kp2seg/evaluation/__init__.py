"""How good the masks are: predict once into a file, score the file.

cache            predictions with both scores, and what they were made from; refused when stale
segm_scores      COCO's AP and AR, by pycocotools
boundary         boundary IoU (Cheng et al. 2021): boundary AP, and the mean over matched masks
evaluate         all of it for a file of predictions, in both score modes
subsets          predictions for the whole of OCHuman, scored on its moderate and hard ranges
tables           our figures beside the paper's; JSON
"""
