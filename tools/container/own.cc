// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

namespace cgx::launcher {

Result<int> run(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> stop(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> kill(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> rm(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> wait(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> exec(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> attach(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> gc(const Call&) { return fail(ENOTSUP, "is not supported yet"); }

}  // namespace cgx::launcher
