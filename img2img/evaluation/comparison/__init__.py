"""Put results next to each other, picture by picture: models, folders of results and simple baselines.

Needs numpy, Pillow and the runtime only. The baseline `telea` needs OpenCV.
"""
