// SPDX-License-Identifier: Apache-2.0
// Inside image/: the entries of a layer's tar (ustar, GNU, pax), as libarchive reads them, into a LayerTree.
#pragma once

#include "cgx/image/stream.h"
#include "cgx/image/tree.h"

namespace cgx::image {

// Errors have the entry's name as their value. Names are bytes: the process is in the C locale, where libarchive leaves
// them as they are (in others it would convert the names of pax headers).
[[nodiscard]] Result<> unpack_tar(Source& from, LayerTree& to);

}  // namespace cgx::image
