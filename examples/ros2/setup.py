"""How colcon builds the package (ament_python)."""

from setuptools import setup

NAME = "pointstill_ros"

setup(
    name=NAME,
    version="0.5.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools", "pointstill"],
    zip_safe=True,
    maintainer="The pointstill authors",
    maintainer_email="nobody@example.com",
    description="Classifies the clusters of a PointCloud2 with an exported student of pointstill.",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"classifier = {NAME}.node:main"]},
)
