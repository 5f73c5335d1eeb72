// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_FIELDS_DOCUMENT_H_
#define RIPSTOP_API_FIELDS_DOCUMENT_H_

#include <string>

namespace ripstop::api {

// The field table as docs/fields.md, in Markdown. fields_doc_test compares the two.
std::string FieldTableDocument();

}  // namespace ripstop::api

#endif  // RIPSTOP_API_FIELDS_DOCUMENT_H_
