// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

namespace cgx::launcher {

Result<int> ls(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> inspect(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> pause(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> unpause(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> logs(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> top(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> stats(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> update(const Call&) { return fail(ENOTSUP, "is not supported yet"); }
Result<int> prune(const Call&) { return fail(ENOTSUP, "is not supported yet"); }

}  // namespace cgx::launcher
