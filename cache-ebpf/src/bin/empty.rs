//! Programs that do nothing: what the kernel's own way to a program costs, against which the agent's
//! programs are measured. Not part of the agent.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod programs {
    #![expect(
        clippy::needless_pass_by_value,
        reason = "aya's macros hand a context by value"
    )]

    use aya_ebpf::{
        macros::{fentry, tracepoint},
        programs::{FEntryContext, TracePointContext},
    };

    #[tracepoint]
    fn empty_point(_ctx: TracePointContext) -> u32 {
        0
    }

    #[fentry]
    fn empty_entry(_ctx: FEntryContext) -> i32 {
        0
    }
}

/// On the host there is nothing to run; this satisfies `cargo clippy --workspace`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}
