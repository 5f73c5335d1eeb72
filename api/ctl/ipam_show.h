// SPDX-License-Identifier: Apache-2.0
//
// What `ripstopctl ipam show` prints, as calicoctl groups it; as a table or as JSON.
#ifndef RIPSTOP_API_CTL_IPAM_SHOW_H_
#define RIPSTOP_API_CTL_IPAM_SHOW_H_

#include <ostream>

#include "api/ctl/ipam_report.h"
#include "api/ctl/run.h"

namespace ripstop::ctl {

// How full each pool is, its blocks below it where wanted; then blocks of no pool.
void ShowPools(const Io& io, const AddressWorld& world, bool with_blocks, bool json);
// Addresses that are used on another node than their block's.
void ShowBorrowed(const Io& io, const AddressWorld& world, bool json);
// Who has an address, and what it belongs to.
void ShowAddress(std::ostream& out, const AddressWorld& world, const policy::Address& address,
                 bool json);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_IPAM_SHOW_H_
