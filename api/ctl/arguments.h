// SPDX-License-Identifier: Apache-2.0
//
// The words of a command line before CLI11 sees them, and what was meant when it does not
// know one.
#ifndef RIPSTOP_API_CTL_ARGUMENTS_H_
#define RIPSTOP_API_CTL_ARGUMENTS_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}  // namespace CLI

namespace ripstop::ctl {

// `-n=x` as `-n x`, and `help VERB` as `VERB --help`, as kubectl and calicoctl take them.
std::vector<std::string> Normalized(const std::vector<std::string>& arguments);

// After a failed parse: which word is unknown, what it was taken for, and the nearest that is
// known; "" when every word is known.
std::string UnknownWord(const CLI::App& app);
// Likewise: what the verb that was given cannot do without; "" when it has all.
std::string MissingWord(const CLI::App& app);
// "Run ripstopctl help get for what there is.", of the verb that was given.
std::string HelpFor(const CLI::App& app);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_ARGUMENTS_H_
