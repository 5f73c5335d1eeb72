// SPDX-License-Identifier: Apache-2.0
//
// Where JSON is not YAML: what its strings may hold as it is, and what they escape otherwise.
#ifndef RIPSTOP_API_CODEC_JSON_TEXT_H_
#define RIPSTOP_API_CODEC_JSON_TEXT_H_

#include <string>
#include <string_view>

namespace ripstop::api {

// `json` with each character that a string may hold in JSON and not in YAML (U+007F to
// U+009F, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF) escaped.
std::string EscapedForYaml(std::string_view json);

// Makes a text that is JSON one that is YAML too; another is left as it is. Besides the
// above, pairs such as \ud83d\ude00 (RFC 8259, 7) become the character they mean.
void MakeYamlOfJson(std::string* text);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_JSON_TEXT_H_
