// Ask a running node one question: ./ask_client "is anybody in the room ?" (CMakeLists.txt says how it is built)
#include <chrono>
#include <cstdio>
#include <memory>

#include "rclcpp/rclcpp.hpp"
#include "rclcpp/version.h"
#include "stc_ros/srv/ask.hpp"

using Ask = stc_ros::srv::Ask;
using namespace std::chrono_literals;

int main(int argc, char ** argv)
{
  const auto arguments = rclcpp::init_and_remove_ros_arguments(argc, argv);
  if (arguments.size() != 2) {
    std::fprintf(stderr, "usage: ask_client QUESTION\n");
    return 2;
  }
  const auto node = std::make_shared<rclcpp::Node>("ask_client");
  // Replies go to the readers of all clients, and each keeps its newest ten by default: among many clients one's own is
  // pushed out before it is read. See docs/planners.md.
  auto many = rclcpp::ServicesQoS().keep_last(512);
#if RCLCPP_VERSION_GTE(17, 0, 0)
  const auto client = node->create_client<Ask>("ask", many);
#else  // Humble
  const auto client = node->create_client<Ask>("ask", many.get_rmw_qos_profile());
#endif
  if (!client->wait_for_service(10s)) {
    RCLCPP_ERROR(node->get_logger(), "nobody serves \"ask\": is the node started, in this ROS_DOMAIN_ID?");
    return 1;
  }

  const auto request = std::make_shared<Ask::Request>();
  request->question = arguments[1];
  request->timeout.sec = 5;  // the node replies before: an answer, or an error code
  auto future = client->async_send_request(request);
  if (rclcpp::spin_until_future_complete(node, future, 6s) != rclcpp::FutureReturnCode::SUCCESS) {
    client->remove_pending_request(future);
    RCLCPP_ERROR(node->get_logger(), "no reply: has the node ended?");
    return 1;
  }

  const auto reply = future.get();
  if (reply->error_code != Ask::Response::NONE) {
    RCLCPP_ERROR(node->get_logger(), "error %u: %s", reply->error_code, reply->error_msg.c_str());
    return 1;
  }
  std::printf("%s\n", reply->answer.c_str());
  rclcpp::shutdown();
  return 0;
}
