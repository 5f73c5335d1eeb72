// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/documents.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "api/validate/damaged.h"
#include "api/validate/validate.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

namespace fs = std::filesystem;

bool IsDocument(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

// 1 rather than kNotFound: a missing input is not a missing resource.
absl::Status CannotRead(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("cannot read ", path, ": ", why));
}

absl::StatusOr<std::vector<std::string>> FilesOf(const std::string& source, bool recursive) {
  std::error_code error;
  if (source == "-" || !fs::is_directory(source, error)) return std::vector<std::string>{source};
  std::vector<std::string> files;
  const auto take = [&files](const fs::directory_entry& entry) {
    std::error_code ignored;
    if (entry.is_regular_file(ignored) && IsDocument(entry.path()))
      files.push_back(entry.path().string());
  };
  if (recursive) {
    for (fs::recursive_directory_iterator it(source, error), end; !error && it != end;
         it.increment(error))
      take(*it);
  } else {
    for (fs::directory_iterator it(source, error), end; !error && it != end; it.increment(error))
      take(*it);
  }
  if (error) return CannotRead(source, error.message());
  if (files.empty()) return CannotRead(source, "the folder has no *.yaml, *.yml or *.json file");
  std::sort(files.begin(), files.end());
  return files;
}

// What of a document must be known to judge those after it.
class AcrossDocuments {
 public:
  void Add(const api::Resource& resource, const std::function<void(const api::Problem&)>& problem) {
    if (files_.empty() || files_.back() != resource.file) files_.push_back(resource.file);
    const Place here = {static_cast<uint32_t>(files_.size() - 1), resource.line};
    const auto [it, fresh] = first_.try_emplace(Id(resource.key()), here);
    if (!fresh) {
      problem({.file = resource.file,
               .line = resource.line,
               .resource = resource.key().ToString(),
               .what = absl::StrCat("is already defined at ", files_[it->second.file], ":",
                                    it->second.line),
               .remedy = "keep one of the two"});
    }
    if (api::IsComparedWithOthers(resource)) compared_.push_back(resource);
  }

  std::vector<api::Problem> Compare() const { return api::ValidateTogether(compared_); }

 private:
  struct Place {
    uint32_t file;
    int line;
  };

  // One string, since there may be very many.
  static std::string Id(const api::ResourceKey& key) {
    return absl::StrCat(key.kind, "\n", key.ns, "\n", key.name);
  }

  std::vector<std::string> files_;
  absl::flat_hash_map<std::string, Place> first_;
  std::vector<api::Resource> compared_;
};

class Reading {
 public:
  Reading(const DocumentOptions& options, const DocumentSink& sink)
      : options_(options), sink_(sink) {}

  absl::Status Read(std::istream& in, const std::string& file) {
    api::DocumentReader reader(in, file, {.default_namespace = options_.default_namespace});
    for (;;) {
      api::Decoded decoded;
      if (!reader.Next(&decoded)) return absl::OkStatus();
      RETURN_IF_ERROR(Take(decoded));
    }
  }

  void Finish() {
    if (!options_.validate) return;
    for (const api::Problem& problem : across_.Compare()) sink_.problem(problem);
  }

 private:
  absl::Status Take(api::Decoded& decoded) {
    ReportForm(decoded);
    for (api::Problem& aside : decoded.left_aside) {
      if (!options_.strict) {
        sink_.left_aside(aside);
        continue;
      }
      aside.remedy = "remove it, or leave out --strict";
      sink_.problem(aside);
    }
    for (api::Resource& resource : decoded.resources) {
      if (options_.validate) {
        for (const api::Problem& problem : api::Validate(resource)) sink_.problem(problem);
        across_.Add(resource, sink_.problem);
      }
      RETURN_IF_ERROR(sink_.resource(std::move(resource)));
    }
    return absl::OkStatus();
  }

  // Problems of form, each damaged document's with those of its content.
  void ReportForm(const api::Decoded& decoded) {
    size_t at = 0;
    const auto report_until = [&](size_t end) {
      for (; at < end; ++at) sink_.problem(decoded.problems[at]);
    };
    for (const api::DamagedResource& damaged : decoded.damaged) {
      report_until(damaged.begin);
      if (!options_.validate) continue;
      for (const api::Problem& problem : api::ValidateDamaged(damaged)) sink_.problem(problem);
      at += damaged.problems.size();
    }
    report_until(decoded.problems.size());
  }

  const DocumentOptions& options_;
  const DocumentSink& sink_;
  AcrossDocuments across_;
};

absl::Status ReadFile(Reading& reading, const std::string& file) {
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return CannotRead(file, std::generic_category().message(errno));
  try {
    return reading.Read(stream, file);
  } catch (const std::ios_base::failure& error) {  // a disk that fails, a folder
    return CannotRead(file, error.code().message());
  }
}

}  // namespace

absl::Status ReadDocuments(const std::vector<std::string>& sources, std::istream& standard_input,
                           const DocumentOptions& options, const DocumentSink& sink) {
  Reading reading(options, sink);
  for (const std::string& source : sources) {
    ASSIGN_OR_RETURN(const std::vector<std::string> files, FilesOf(source, options.recursive));
    for (const std::string& file : files) {
      if (file == "-") {
        RETURN_IF_ERROR(reading.Read(standard_input, "<stdin>"));
      } else {
        RETURN_IF_ERROR(ReadFile(reading, file));
      }
    }
  }
  reading.Finish();
  return absl::OkStatus();
}

}  // namespace ripstop::ctl
