// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink/socket.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "agent/base/netns.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr size_t kRequestBytes = 4096;
constexpr size_t kReceiveBytes = 64 * 1024;  // what the kernel fills in one go for dumps
constexpr int kDumpAttempts = 5;

// The kernel's own words, when the error carries them (NETLINK_EXT_ACK).
std::string ExtendedMessage(const nlmsghdr* message) {
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  // With NETLINK_CAP_ACK only the request's header is echoed.
  size_t skip = sizeof(*error);
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) {
    skip += MNL_ALIGN(error->msg.nlmsg_len) - MNL_NLMSG_HDRLEN;
  }
  const Attributes attributes(message, skip);
  return attributes.String(NLMSGERR_ATTR_MSG);
}

absl::Status ErrorOf(const nlmsghdr* message, const std::string& subject) {
  const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
  if (error->error == 0) return absl::OkStatus();
  const std::string words = ExtendedMessage(message);
  const std::string text = words.empty() ? subject : absl::StrCat(subject, " (", words, ")");
  const int number = -error->error;
  // Abseil has no opinion on these; for netlink they mean "not there".
  if (number == ESRCH || number == ENODEV ||
      (number == EADDRNOTAVAIL && error->msg.nlmsg_type == RTM_DELADDR)) {
    return absl::NotFoundError(absl::StrCat(text, ": ", strerror(number)));
  }
  return absl::ErrnoToStatus(number, text);
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t type, uint16_t flags, std::string subject)
    : buffer_(kRequestBytes), subject_(std::move(subject)) {
  header_ = mnl_nlmsg_put_header(buffer_.data());
  header_->nlmsg_type = type;
  header_->nlmsg_flags = NLM_F_REQUEST | flags;
}

void NetlinkRequest::PutAddress(uint16_t type, const policy::Address& address) {
  if (address.is_v4()) {
    mnl_attr_put(header_, type, 4, address.bytes.data() + 12);
  } else {
    mnl_attr_put(header_, type, 16, address.bytes.data());
  }
}

absl::StatusOr<NetlinkSocket> NetlinkSocket::Open(int netns_fd, int protocol) {
  NetlinkSocket made;
  const auto open = [&made, protocol] {
    made.socket_.reset(mnl_socket_open2(protocol, SOCK_CLOEXEC));
    if (made.socket_ == nullptr) return absl::ErrnoToStatus(errno, "netlink socket");
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(netns_fd < 0 ? open() : RunInNetns(netns_fd, open));
  if (mnl_socket_bind(made.socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return absl::ErrnoToStatus(errno, "binding a netlink socket");
  }
  made.port_ = mnl_socket_get_portid(made.socket_.get());
  made.buffer_.resize(kReceiveBytes);
  // All best effort but the strict check, without which filtered dumps are not.
  int one = 1;
  mnl_socket_setsockopt(made.socket_.get(), NETLINK_EXT_ACK, &one, sizeof(one));
  mnl_socket_setsockopt(made.socket_.get(), NETLINK_CAP_ACK, &one, sizeof(one));
  if (mnl_socket_setsockopt(made.socket_.get(), NETLINK_GET_STRICT_CHK, &one, sizeof(one)) != 0) {
    return absl::ErrnoToStatus(errno, "NETLINK_GET_STRICT_CHK (needs Linux 4.20)");
  }
  const timeval limit{.tv_sec = 10, .tv_usec = 0};  // the kernel always answers; never hang
  setsockopt(made.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  return made;
}

absl::Status NetlinkSocket::Send(NetlinkRequest& request) {
  request.header()->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), request.header(), request.header()->nlmsg_len) < 0) {
    return absl::ErrnoToStatus(errno, request.subject());
  }
  return absl::OkStatus();
}

// Reads until the answer to the last request is complete. True when the kernel marked
// the dump as interrupted.
absl::StatusOr<bool> NetlinkSocket::ReceiveAll(const NetlinkRequest& request,
                                               const Visitor& visit) {
  bool interrupted = false;
  while (true) {
    const ssize_t n = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return absl::ErrnoToStatus(errno, request.subject());
    }
    int left = static_cast<int>(n);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      // What an earlier request that timed out left behind.
      if (message->nlmsg_seq != sequence_ || message->nlmsg_pid != port_) continue;
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      switch (message->nlmsg_type) {
        case NLMSG_ERROR: RETURN_IF_ERROR(ErrorOf(message, request.subject())); return interrupted;
        case NLMSG_DONE: {
          int error = 0;
          if (mnl_nlmsg_get_payload_len(message) >= sizeof(error)) {
            memcpy(&error, mnl_nlmsg_get_payload(message), sizeof(error));
          }
          if (error < 0) return absl::ErrnoToStatus(-error, request.subject());
          return interrupted;
        }
        case NLMSG_NOOP: break;
        default: visit(message);
      }
    }
  }
}

absl::Status NetlinkSocket::Transact(NetlinkRequest& request) {
  request.header()->nlmsg_flags |= NLM_F_ACK;
  RETURN_IF_ERROR(Send(request));
  return ReceiveAll(request, [](const nlmsghdr*) {}).status();
}

absl::Status NetlinkSocket::Query(NetlinkRequest& request, const std::function<void()>& restart,
                                  const Visitor& visit) {
  // A get without dump is answered by one message; the acknowledgement ends it.
  if ((request.header()->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP) {
    request.header()->nlmsg_flags |= NLM_F_ACK;
  }
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    restart();
    RETURN_IF_ERROR(Send(request));
    ASSIGN_OR_RETURN(const bool interrupted, ReceiveAll(request, visit));
    if (!interrupted) return absl::OkStatus();
  }
  return absl::UnavailableError(absl::StrCat(
      request.subject(), ": the table changed during each of ", kDumpAttempts, " dumps"));
}

Attributes::Attributes(const nlmsghdr* message, size_t fixed_size) {
  // Not libmnl's mnl_attr_for_each: it assigns void pointers, which C++ refuses.
  const auto* attribute =
      static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, fixed_size));
  const auto* tail = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(attribute, static_cast<int>(tail - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    Put(attribute);
  }
}

Attributes::Attributes(const nlattr* nest) {
  if (nest == nullptr) return;
  const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
  const auto* tail =
      static_cast<const char*>(mnl_attr_get_payload(nest)) + mnl_attr_get_payload_len(nest);
  for (; mnl_attr_ok(attribute, static_cast<int>(tail - reinterpret_cast<const char*>(attribute)));
       attribute = mnl_attr_next(attribute)) {
    Put(attribute);
  }
}

void Attributes::Put(const nlattr* attribute) {
  const uint16_t type = mnl_attr_get_type(attribute);
  if (type >= attributes_.size()) attributes_.resize(type + 1);
  attributes_[type] = attribute;
}

uint32_t Attributes::U32(uint16_t type, uint32_t otherwise) const {
  const nlattr* a = (*this)[type];
  return a != nullptr && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : otherwise;
}
uint16_t Attributes::U16(uint16_t type, uint16_t otherwise) const {
  const nlattr* a = (*this)[type];
  return a != nullptr && mnl_attr_get_payload_len(a) >= 2 ? mnl_attr_get_u16(a) : otherwise;
}
uint8_t Attributes::U8(uint16_t type, uint8_t otherwise) const {
  const nlattr* a = (*this)[type];
  return a != nullptr && mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : otherwise;
}

std::string Attributes::String(uint16_t type) const {
  const nlattr* a = (*this)[type];
  if (a == nullptr) return "";
  const char* text = static_cast<const char*>(mnl_attr_get_payload(a));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(a)));
}

std::optional<policy::Address> Attributes::Address(uint16_t type) const {
  const nlattr* a = (*this)[type];
  if (a == nullptr) return std::nullopt;
  policy::Address address;
  if (mnl_attr_get_payload_len(a) == 4) {
    address.bytes[10] = address.bytes[11] = 0xff;
    memcpy(address.bytes.data() + 12, mnl_attr_get_payload(a), 4);
    return address;
  }
  if (mnl_attr_get_payload_len(a) != 16) return std::nullopt;
  memcpy(address.bytes.data(), mnl_attr_get_payload(a), 16);
  return address;
}

Mac Attributes::MacOf(uint16_t type) const {
  Mac mac;
  if (const nlattr* a = (*this)[type]; a != nullptr && mnl_attr_get_payload_len(a) == 6) {
    memcpy(mac.bytes.data(), mnl_attr_get_payload(a), 6);
  }
  return mac;
}

}  // namespace ripstop::agent
