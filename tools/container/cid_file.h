// SPDX-License-Identifier: Apache-2.0
// --cidfile: a file that appears whole, with the id, when the container runs. There is none of a container that could
// not be started.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::launcher {

class CidFile {
 public:
  // Refuses what open() would refuse, and makes nothing.
  [[nodiscard]] static Result<> check(const std::string& path);
  // Writes the id to a file without a name, or with another one. EEXIST: `path` is there.
  [[nodiscard]] static Result<CidFile> open(const std::string& path, std::string_view id);
  CidFile(CidFile&& other) noexcept;
  CidFile& operator=(CidFile&&) = delete;
  CidFile(const CidFile&) = delete;
  CidFile& operator=(const CidFile&) = delete;
  ~CidFile();
  // Gives it its name. EEXIST: somebody else's has it by now.
  [[nodiscard]] Result<> publish() const;

 private:
  CidFile(std::string path, sys::Fd file, std::string other) noexcept;
  std::string path_;
  sys::Fd file_;
  std::string other_;  // its name until then; empty: it has none
};

}  // namespace cgx::launcher
