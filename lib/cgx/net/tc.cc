// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/tc.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/class.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/htb.h>
#include <netlink/route/tc.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/net/bpf.h"
#include "cgx/sys/fd.h"

namespace cgx::net {

namespace {

// libnl folds the kernel's errno into its own numbers. Those that a caller tells apart come back as they were.
int errno_of(int nle) {
  switch (nle < 0 ? -nle : nle) {
    case NLE_EXIST:
      return EEXIST;
    case NLE_OBJ_NOTFOUND:
      return ENOENT;
    case NLE_NODEV:
      return ENODEV;
    case NLE_PERM:
      return EPERM;
    case NLE_NOACCESS:
      return EACCES;
    case NLE_BUSY:
      return EBUSY;
    case NLE_NOMEM:
      return ENOMEM;
    case NLE_OPNOTSUPP:
      return EOPNOTSUPP;
    case NLE_RANGE:
      return ERANGE;
    case NLE_INVAL:
      return EINVAL;
    default:
      return EIO;
  }
}

// Frees what libnl counts references of.
template <class T, void (*put)(T*)>
struct Put {
  void operator()(T* object) const { put(object); }
};
using Qdisc = std::unique_ptr<rtnl_qdisc, Put<rtnl_qdisc, rtnl_qdisc_put>>;
using Class = std::unique_ptr<rtnl_class, Put<rtnl_class, rtnl_class_put>>;
using Cache = std::unique_ptr<nl_cache, Put<nl_cache, nl_cache_free>>;
using Message = std::unique_ptr<nl_msg, Put<nl_msg, nlmsg_free>>;

std::unexpected<Error> tc_error(int nle, std::string_view what, const Interface& on) {
  const int code = errno_of(nle);
  const std::string detail = code == EIO ? std::string(nl_geterror(nle)) : errno_text(code);
  auto error = fail(code, fmt::format("{} interface \"{}\": {}", what, on.name, detail));
  if (code == EPERM) error.error().hint = "traffic control needs CAP_NET_ADMIN in the interface's network namespace";
  return error;
}

constexpr std::uint32_t handle_of(std::uint32_t major) { return major << 16U; }

template <class T>
rtnl_tc* as_tc(T* object) {
  return reinterpret_cast<rtnl_tc*>(object);  // libnl's own TC_CAST
}

}  // namespace

Result<Interface> find_interface(const std::string& name) {
  CGX_CHECK(check_interface_name(name));
  std::array<char, IF_NAMESIZE> canonical{};
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0 || if_indextoname(index, canonical.data()) == nullptr)
    return fail(ENODEV, fmt::format("interface \"{}\" does not exist", name));
  return Interface{canonical.data(), index};
}

bool interface_exists(unsigned index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) != nullptr;
}

Result<std::uint64_t> current_netns() {
  struct stat info = {};
  if (stat("/proc/thread-self/ns/net", &info) != 0) return fail_errno(errno, "stat /proc/thread-self/ns/net");
  return info.st_ino;
}

void Tc::Close::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<Tc> Tc::open() {
  nl_sock* socket = nl_socket_alloc();
  if (socket == nullptr) return fail_errno(ENOMEM, "open a netlink socket");
  Tc tc(socket);
  if (const int e = nl_connect(socket, NETLINK_ROUTE); e < 0) return fail_errno(errno_of(e), "open a netlink socket");
  return tc;
}

Result<RootQdisc> Tc::root(unsigned index) const {
  nl_cache* dumped = nullptr;
  if (const int e = rtnl_qdisc_alloc_cache(socket_.get(), &dumped); e < 0)
    return fail_errno(errno_of(e), "list queueing disciplines");
  const Cache cache(dumped);
  for (nl_object* object = nl_cache_get_first(dumped); object != nullptr; object = nl_cache_get_next(object)) {
    rtnl_tc* tc = as_tc(object);
    if (rtnl_tc_get_ifindex(tc) != static_cast<int>(index) || rtnl_tc_get_parent(tc) != TC_H_ROOT) continue;
    const char* kind = rtnl_tc_get_kind(tc);
    return RootQdisc{kind == nullptr ? "" : kind, rtnl_tc_get_handle(tc) >> 16U};
  }
  return RootQdisc{};  // an interface that is down may list none; adding one works
}

Result<std::vector<ClassId>> Tc::classes(unsigned index) const {
  nl_cache* dumped = nullptr;
  if (const int e = rtnl_class_alloc_cache(socket_.get(), static_cast<int>(index), &dumped); e < 0)
    return fail_errno(errno_of(e), "list traffic classes");
  const Cache cache(dumped);
  std::vector<ClassId> found;
  for (nl_object* object = nl_cache_get_first(dumped); object != nullptr; object = nl_cache_get_next(object))
    found.push_back(ClassId{rtnl_tc_get_handle(as_tc(object))});
  return found;
}

Result<> Tc::add_root(const Interface& on, std::uint32_t major) const {
  CGX_CHECK(sys::mutation("tc qdisc add", on.name));
  const Qdisc qdisc(rtnl_qdisc_alloc());
  if (!qdisc) return fail_errno(ENOMEM, "make a queueing discipline");
  rtnl_tc* tc = as_tc(qdisc.get());
  rtnl_tc_set_ifindex(tc, static_cast<int>(on.index));
  rtnl_tc_set_parent(tc, TC_H_ROOT);
  rtnl_tc_set_handle(tc, handle_of(major));
  int e = rtnl_tc_set_kind(tc, "htb");
  if (e == 0) e = rtnl_htb_set_defcls(qdisc.get(), 0);
  // EXCL: a root that someone configured meanwhile is never replaced; the kernel's default one does not count.
  if (e == 0) e = rtnl_qdisc_add(socket_.get(), qdisc.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (e == 0) return {};
  if (errno_of(e) == ENOENT) return fail(EOPNOTSUPP, "this kernel has no htb queueing discipline (CONFIG_NET_SCH_HTB)");
  return tc_error(e, "add the htb queueing discipline to", on);
}

Result<> Tc::remove_root(const Interface& on, std::uint32_t major) const {
  CGX_CHECK(sys::mutation("tc qdisc del", on.name));
  const Qdisc qdisc(rtnl_qdisc_alloc());
  if (!qdisc) return fail_errno(ENOMEM, "remove a queueing discipline");
  rtnl_tc* tc = as_tc(qdisc.get());
  rtnl_tc_set_ifindex(tc, static_cast<int>(on.index));
  rtnl_tc_set_parent(tc, TC_H_ROOT);
  rtnl_tc_set_handle(tc, handle_of(major));
  const int e = rtnl_qdisc_delete(socket_.get(), qdisc.get());
  if (e == 0 || errno_of(e) == ENOENT) return {};
  return tc_error(e, "remove the htb queueing discipline of", on);
}

Result<> Tc::set_class(const Interface& on, ClassId id, std::uint64_t bits) const {
  CGX_CHECK(sys::mutation("tc class add", on.name));
  const Class cls(rtnl_class_alloc());
  if (!cls) return fail_errno(ENOMEM, "make a traffic class");
  rtnl_tc* tc = as_tc(cls.get());
  rtnl_tc_set_ifindex(tc, static_cast<int>(on.index));
  rtnl_tc_set_parent(tc, handle_of(id.major()));
  rtnl_tc_set_handle(tc, id.value);
  const std::uint64_t bytes = bits / 8;
  // A burst of 4 ms (the slowest kernel tick) and a packet: less cannot be sent at the rate, more is a long burst.
  constexpr std::uint64_t packet = 1600;
  const auto burst = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes / 250 + packet, 1U << 30U));
  int e = rtnl_tc_set_kind(tc, "htb");
  if (e == 0) e = rtnl_htb_set_rate64(cls.get(), bytes);
  if (e == 0) e = rtnl_htb_set_ceil64(cls.get(), bytes);
  if (e == 0) e = rtnl_htb_set_rbuffer(cls.get(), burst);
  if (e == 0) e = rtnl_htb_set_cbuffer(cls.get(), burst);
  // Without it the kernel takes rate/10 and warns in its log that this is too small or too big.
  if (e == 0)
    e = rtnl_htb_set_quantum(cls.get(),
                             static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bytes / 10, packet, 60000)));
  if (e == 0) e = rtnl_class_add(socket_.get(), cls.get(), NLM_F_CREATE);
  if (e == 0) return {};
  return tc_error(e, fmt::format("set class {} of", format_class(id)), on);
}

Result<> Tc::remove_class(const Interface& on, ClassId id) const {
  CGX_CHECK(sys::mutation("tc class del", on.name));
  const Class cls(rtnl_class_alloc());
  if (!cls) return fail_errno(ENOMEM, "remove a traffic class");
  rtnl_tc* tc = as_tc(cls.get());
  rtnl_tc_set_ifindex(tc, static_cast<int>(on.index));
  rtnl_tc_set_parent(tc, handle_of(id.major()));
  rtnl_tc_set_handle(tc, id.value);
  const int e = rtnl_class_delete(socket_.get(), cls.get());
  if (e == 0 || errno_of(e) == ENOENT) return {};
  return tc_error(e, fmt::format("remove class {} of", format_class(id)), on);
}

// libnl 3.7 has no cls_bpf, so the message is put together here, for both kinds in the same way. 0 or -NLE_*.
int Tc::add_filter_kind(unsigned index, std::uint32_t major, const char* kind, int program) const {
  const Message message(nlmsg_alloc_simple(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL));
  if (!message) return -NLE_NOMEM;
  tcmsg head = {};
  head.tcm_family = AF_UNSPEC;
  head.tcm_ifindex = static_cast<int>(index);
  head.tcm_parent = handle_of(major);
  head.tcm_handle = 1;
  head.tcm_info = std::uint32_t{filter_preference} << 16U | htons(ETH_P_ALL);
  int e = nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO);
  if (e == 0) e = nla_put_string(message.get(), TCA_KIND, kind);
  if (e < 0) return e;
  // cls_cgroup has no options but refuses a message without the attribute.
  nlattr* options = nla_nest_start(message.get(), TCA_OPTIONS);
  if (options == nullptr) return -NLE_NOMEM;
  if (program >= 0) {
    e = nla_put_u32(message.get(), TCA_BPF_FD, static_cast<std::uint32_t>(program));
    if (e == 0) e = nla_put_string(message.get(), TCA_BPF_NAME, program_name);
    if (e < 0) return e;
  }
  (void)nla_nest_end_keep_empty(message.get(), options);
  nlmsg_get(message.get());  // nl_send_sync() frees the message that it is given
  return nl_send_sync(socket_.get(), message.get());
}

Result<Classifier> Tc::add_filter(const Interface& on, std::uint32_t major, Classifier which) const {
  CGX_CHECK(sys::mutation("tc filter add", on.name));
  int e = -NLE_OPNOTSUPP;
  if (which == Classifier::none || which == Classifier::cls_cgroup) {
    e = add_filter_kind(on.index, major, "cgroup", -1);
    if (e == 0 || errno_of(e) == EEXIST) return Classifier::cls_cgroup;
  }
  // ENOENT: this kernel has no cls_cgroup. EINVAL: the preference is taken by another kind, ours perhaps.
  const bool next = errno_of(e) == ENOENT || errno_of(e) == EINVAL;
  if (which == Classifier::cls_bpf || (which == Classifier::none && next)) {
    const sys::Fd program = CGX_TRY(load_classid_program());
    e = add_filter_kind(on.index, major, "bpf", program.get());
    if (e == 0 || errno_of(e) == EEXIST) return Classifier::cls_bpf;
  }
  if (errno_of(e) == ENOENT) return fail(EOPNOTSUPP, "this kernel has no such tc classifier");
  return tc_error(e, "add a filter to", on);
}

Result<> Tc::remove_filter(const Interface& on, std::uint32_t major) const {
  CGX_CHECK(sys::mutation("tc filter del", on.name));
  const Message message(nlmsg_alloc_simple(RTM_DELTFILTER, 0));
  if (!message) return fail_errno(ENOMEM, "remove a filter");
  tcmsg head = {};
  head.tcm_family = AF_UNSPEC;
  head.tcm_ifindex = static_cast<int>(on.index);
  head.tcm_parent = handle_of(major);
  head.tcm_info = std::uint32_t{filter_preference} << 16U | htons(ETH_P_ALL);
  int e = nlmsg_append(message.get(), &head, sizeof head, NLMSG_ALIGNTO);
  if (e == 0) {
    nlmsg_get(message.get());
    e = nl_send_sync(socket_.get(), message.get());
  }
  if (e >= 0 || errno_of(e) == ENOENT || errno_of(e) == EINVAL) return {};  // EINVAL: the qdisc itself is gone
  return tc_error(e, "remove the filter of", on);
}

}  // namespace cgx::net
