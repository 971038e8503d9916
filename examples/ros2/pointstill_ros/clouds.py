"""A PointCloud2 as a structured array, whatever its layout. NumPy alone: no ROS is needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointstill.errors import DataError

DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
"""`PointField.datatype` -> NumPy's name of it."""
DRIVER = "look at what the driver publishes"


def read_cloud(message: Any) -> NDArray[Any]:
    """The points of a message.

    Args:
        message: a `sensor_msgs/PointCloud2` of rclpy or rosbags, or whatever has its fields.

    Returns:
        (height * width,) structured array with the fields of the message, row by row; padding of
        points and rows is left out, and the byte order is that of the message.

    Raises:
        DataError: its frame is that of a camera's picture, in which y points down; or its fields,
            steps and data do not fit each other.
    """
    frame = message.header.frame_id
    if frame.endswith(("_optical_frame", "_optical")):
        raise DataError(
            f"is in {frame}, an optical frame, in which y points down",
            where="the cloud",
            fix="transform it to a frame in which z points up, such as base_link",
        )
    dtype = _dtype(message)
    rows, columns = message.height, message.width
    if not rows * columns:
        return np.empty(0, dtype)
    data = np.frombuffer(message.data, np.uint8)
    step = message.row_step if rows > 1 else columns * message.point_step
    wanted = (rows - 1) * step + columns * message.point_step
    if step < columns * message.point_step or len(data) < wanted:
        raise DataError(
            f"announces {rows} x {columns} points of {message.point_step} bytes in rows of "
            f"{message.row_step}, and has {len(data)} bytes",
            where="the cloud",
            fix=DRIVER,
        )
    points = np.ndarray((rows, columns), dtype, data, strides=(step, message.point_step))
    return points.reshape(-1)


def _dtype(message: Any) -> np.dtype[Any]:
    """Of a point.

    Raises:
        DataError: fields that no point can have.
    """
    order = ">" if message.is_bigendian else "<"
    names, formats = [], []
    for field in message.fields:
        if field.datatype not in DATATYPES:
            raise DataError(
                f"has {field.name} of datatype {field.datatype}, which is none",
                where="the cloud",
                fix=DRIVER,
            )
        kind = order + DATATYPES[field.datatype]
        names.append(field.name)
        formats.append((kind, field.count) if field.count > 1 else kind)  # some drivers write 0
    try:
        return np.dtype(
            {
                "names": names,
                "formats": formats,
                "offsets": [field.offset for field in message.fields],
                "itemsize": message.point_step,
            }
        )
    except ValueError as error:  # two of one name, or one that ends beyond its point
        listed = ", ".join(f"{field.name} at {field.offset}" for field in message.fields)
        raise DataError(
            f"has points of {message.point_step} bytes with {listed} ({error})",
            where="the cloud",
            fix=DRIVER,
        ) from error
