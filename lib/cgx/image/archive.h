// SPDX-License-Identifier: Apache-2.0
// Inside image/: owns a reader of libarchive.
#pragma once

#include <cerrno>
#include <memory>
#include <string>

#include <archive.h>

#include "cgx/sys/result.h"

namespace cgx::image {

class Reader {
 public:
  [[nodiscard]] static Result<Reader> make() {
    Reader reader;
    reader.archive_.reset(archive_read_new());
    if (!reader.archive_) return fail_errno(ENOMEM, "libarchive");
    return reader;
  }
  [[nodiscard]] archive* get() const { return archive_.get(); }
  // Of the last call that failed.
  [[nodiscard]] std::string message() const {
    const char* text = archive_error_string(get());
    return text != nullptr ? text : "unknown reason";
  }

 private:
  struct Free {
    void operator()(archive* reader) const { (void)archive_read_free(reader); }
  };
  std::unique_ptr<archive, Free> archive_;
};

}  // namespace cgx::image
