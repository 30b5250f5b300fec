//! The program `postseal`: everything is in the library, but the allocator is chosen here.

use std::process::ExitCode;

/// What is freed is zeroed: plaintext and keys pass through many a buffer that is not ours.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> =
    zeroizing_alloc::ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    postseal::cli::run()
}
