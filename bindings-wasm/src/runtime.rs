//! What the standard library would bring: memory, and what a panic comes to.

use core::panic::PanicInfo;

use dlmalloc::GlobalDlmalloc;

#[global_allocator]
static MEMORY: GlobalDlmalloc = GlobalDlmalloc;

/// A panic ends the module, as it does with the standard library, whose words nobody sees in a page.
/// As nobody reads them here, the compiler leaves out everything that makes them: a tenth of what a
/// page loads.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
