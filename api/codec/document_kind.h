// SPDX-License-Identifier: Apache-2.0
//
// Whose a document is: of a kind known here, of another product, or a mistake. Manifests of
// an application hold Deployments and ConfigMaps beside policies; those are left aside by
// name, while what was meant for Ripstop and is misspelt, or is refused as a kind
// (api/fields), must not be.
#ifndef RIPSTOP_API_CODEC_DOCUMENT_KIND_H_
#define RIPSTOP_API_CODEC_DOCUMENT_KIND_H_

#include <string>

#include "api/kinds.h"

namespace ripstop::api {

struct DocumentKind {
  const KindInfo* info = nullptr;  // a kind known here
  bool foreign = false;            // of a group, or a kind of a group, that Ripstop does not read
  std::string refused;             // no document of it is taken: why
  std::string remedy;              // none of these: what was probably meant
};

DocumentKind FindDocumentKind(const std::string& api_version, const std::string& kind);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_DOCUMENT_KIND_H_
