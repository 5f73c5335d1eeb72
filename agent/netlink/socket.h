// SPDX-License-Identifier: Apache-2.0
//
// One request, one answer over netlink, NETLINK_ROUTE unless told. Private to this folder: others
// use netlink.h and monitor.h.
#ifndef RIPSTOP_AGENT_NETLINK_SOCKET_H_
#define RIPSTOP_AGENT_NETLINK_SOCKET_H_

#include <libmnl/libmnl.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/netlink/types.h"

namespace ripstop::agent {

// A request under construction. `subject` names the object in errors:
// "adding route 10.65.0.2/32 dev 7".
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t type, uint16_t flags, std::string subject);

  // The fixed part after nlmsghdr; zeroed. Before any attribute.
  template <typename T>
  T* Fixed() {
    return static_cast<T*>(mnl_nlmsg_put_extra_header(header_, sizeof(T)));
  }
  void PutU8(uint16_t type, uint8_t value) { mnl_attr_put_u8(header_, type, value); }
  void PutU16(uint16_t type, uint16_t value) { mnl_attr_put_u16(header_, type, value); }
  void PutU32(uint16_t type, uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void PutString(uint16_t type, const std::string& value) {
    mnl_attr_put_strz(header_, type, value.c_str());
  }
  void PutMac(uint16_t type, const Mac& mac) { mnl_attr_put(header_, type, 6, mac.bytes.data()); }
  void PutAddress(uint16_t type, const policy::Address& address);
  nlattr* BeginNest(uint16_t type) { return mnl_attr_nest_start(header_, type); }
  void EndNest(nlattr* nest) { mnl_attr_nest_end(header_, nest); }

  nlmsghdr* header() { return header_; }
  const std::string& subject() const { return subject_; }

 private:
  std::vector<char> buffer_;
  nlmsghdr* header_;
  std::string subject_;
};

class NetlinkSocket {
 public:
  // In the namespace of `netns_fd`, or of the calling thread when negative. The socket
  // stays there whoever uses it.
  static absl::StatusOr<NetlinkSocket> Open(int netns_fd, int protocol = NETLINK_ROUTE);

  // Sends and waits for the acknowledgement. The kernel's errno becomes the status:
  // ENOENT, ENODEV, ESRCH kNotFound; EEXIST kAlreadyExists; EPERM kPermissionDenied.
  absl::Status Transact(NetlinkRequest& request);

  using Visitor = std::function<void(const nlmsghdr*)>;
  // A dump, or a get that answers with one message. A dump that the kernel says was
  // interrupted by a change is taken again, so `visit` may see objects twice; `restart`
  // is called first.
  absl::Status Query(NetlinkRequest& request, const std::function<void()>& restart,
                     const Visitor& visit);

  int fd() const { return mnl_socket_get_fd(socket_.get()); }
  mnl_socket* get() { return socket_.get(); }

 private:
  struct Closer {
    void operator()(mnl_socket* s) const { mnl_socket_close(s); }
  };
  absl::Status Send(NetlinkRequest& request);
  absl::StatusOr<bool> ReceiveAll(const NetlinkRequest& request, const Visitor& visit);

  std::unique_ptr<mnl_socket, Closer> socket_;
  uint32_t port_ = 0;
  uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

// Attribute readers: index by type, null where absent.
class Attributes {
 public:
  Attributes(const nlmsghdr* message, size_t fixed_size);
  explicit Attributes(const nlattr* nest);
  const nlattr* operator[](uint16_t type) const {
    return type < attributes_.size() ? attributes_[type] : nullptr;
  }
  uint32_t U32(uint16_t type, uint32_t otherwise = 0) const;
  uint16_t U16(uint16_t type, uint16_t otherwise = 0) const;
  uint8_t U8(uint16_t type, uint8_t otherwise = 0) const;
  std::string String(uint16_t type) const;
  std::optional<policy::Address> Address(uint16_t type) const;
  Mac MacOf(uint16_t type) const;

 private:
  void Put(const nlattr* attribute);
  std::vector<const nlattr*> attributes_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETLINK_SOCKET_H_
