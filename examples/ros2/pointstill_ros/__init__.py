"""Clusters of a PointCloud2, classified; only `node` needs ROS."""
