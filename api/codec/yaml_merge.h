// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CODEC_YAML_MERGE_H_
#define RIPSTOP_API_CODEC_YAML_MERGE_H_

#include "api/codec/yaml_tree.h"

namespace ripstop::api {

// Puts the entries that `<<` of `map` names in its place (yaml.org/type/merge.html): of
// several maps the first that has a key counts, and a key written below `<<` counts more.
// Where it cannot, the entry `<<` stays and its key has a fault, which `tree` holds.
void MergeKeys(YamlNode* map, YamlTree* tree);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_YAML_MERGE_H_
