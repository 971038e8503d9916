"""The node: points in, detections out. All that it knows is in `clouds` and `detections`."""

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosidl_runtime_py import set_message_fields
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray

from pointstill import Classifier
from pointstill.errors import PointstillError

from .clouds import read_cloud
from .detections import as_message, classify_clusters

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""A scan that is older than the one that waits is of no use."""
QUIET = 5.0
"""Seconds in which a complaint is made once."""


class ClassifierNode(Node):
    """Classifies the clusters of each cloud on `points`; publishes them on `detections`."""

    def __init__(self) -> None:
        super().__init__("pointstill")
        student = self.declare_parameter("student", "student.onnx").value
        threads = self.declare_parameter("threads", 1).value
        self.classifier = Classifier(student, threads=threads, drop_missing=True, up="z")
        self.settings = {
            "tolerance": self.declare_parameter("tolerance", 0.1).value,
            "ground": self.declare_parameter("ground", 0.05).value,
            "largest": self.declare_parameter("largest", 3.0).value,
        }
        if self.classifier.calibration.threshold is None:
            self.get_logger().warning("the student has no threshold: it never says unknown")
        self.publisher = self.create_publisher(Detection3DArray, "detections", 10)
        self.create_subscription(PointCloud2, "points", self.classify, NEWEST)

    def classify(self, message: PointCloud2) -> None:
        """Publish what stands in a cloud; a cloud that cannot be read is said to be so."""
        try:
            found = classify_clusters(self.classifier, read_cloud(message), **self.settings)
        except PointstillError as error:
            self.get_logger().error(str(error), throttle_duration_sec=QUIET)
            return
        for reason in found.refused:
            self.get_logger().warning(reason, throttle_duration_sec=QUIET)
        answer = Detection3DArray()
        set_message_fields(answer, as_message(message.header, found.detections))
        self.publisher.publish(answer)


def main() -> None:
    """Run until Ctrl-C."""
    rclpy.init()
    node = ClassifierNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
