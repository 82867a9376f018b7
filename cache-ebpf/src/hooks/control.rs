//! What user space asks for, run synchronously in its own context by `BPF_PROG_TEST_RUN`: descriptors
//! are resolved by the kernel, so that a root is what the kernel calls it and not what `stat` says.
#![expect(
    clippy::cast_possible_truncation,
    reason = "user space passes every argument as 64 bits"
)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "aya's macros hand a context by value"
)]

use aya_ebpf::{bindings::BPF_ANY, macros::raw_tracepoint, programs::RawTracePointContext};
use aya_log_ebpf::{debug, error};
use cache_ebpf::{ProcessKey, Reply, Root, control};

use crate::{
    account::{self, NOBODY},
    events,
    kernel::{self, Read, current},
    ledger,
    maps::{REPLY, ROOTS},
    pending,
};

/// Operation and arguments as in `cache_ebpf::control`; the answer is in `REPLY`.
#[raw_tracepoint]
fn control(ctx: RawTracePointContext) -> i32 {
    let (operation, first, second, third, fourth): (u64, u64, u64, u64, u64) =
        (ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4));
    match operation {
        control::REGISTER => {
            if register(first, second) == control::OK {
                debug!(&ctx, "root {} registered", second);
            } else {
                error!(&ctx, "root {} refused", second);
            }
        }
        control::SEED_OPEN => drop(answer(seed(first, second, third))),
        control::SWEEP => {
            ledger::settle_open(&NOBODY);
            answer(control::OK);
        }
        control::CREDIT => {
            let credited = account::credit_account(first, second, third, fourth) == 1;
            answer(if credited {
                control::OK
            } else {
                control::REFUSED
            });
        }
        control::LOCATE => drop(answer(pending::tell_place(first, second, third))),
        control::IDENTIFY => drop(answer(control::OK)),
        _ => drop(answer(control::REFUSED)),
    }
    0
}

/// Answers with the caller's identity.
///
/// A global function (exported, scalars only): each operation has a stack of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn answer(status: u64) -> u64 {
    REPLY
        .set(0, reply(current::process(), status), u64::from(BPF_ANY))
        .unwrap_or_default();
    1
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn seed(fd: u64, tgid: u64, start_ns: u64) -> u64 {
    let opener = ProcessKey {
        start_ns,
        tgid: tgid as u32,
        pad: 0,
    };
    let seeded = match current::file(fd) {
        Ok(Some(file)) => ledger::seed(file, opener),
        Ok(None) => Ok(false),
        Err(fault) => Err(fault),
    };
    match seeded {
        Ok(true) => control::OK,
        Ok(false) => control::REFUSED,
        Err(fault) => {
            events::fault(fault);
            control::REFUSED
        }
    }
}

#[inline(always)]
fn reply(process: ProcessKey, status: u64) -> Reply {
    Reply {
        status,
        key: cache_ebpf::InodeKey {
            ino: 0,
            dev: 0,
            pad: 0,
        },
        inode: 0,
        superblock: 0,
        process,
        generation: 0,
        pad: 0,
    }
}

/// A global function, as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn register(fd: u64, index: u64) -> u64 {
    let registered = registered(fd, index as u32);
    match registered {
        Ok(status) => status,
        Err(fault) => {
            events::fault(fault);
            control::REFUSED
        }
    }
}

#[inline(always)]
fn registered(fd: u64, index: u32) -> Read<u64> {
    let process = current::process();
    let Some(file) = current::file(fd)? else {
        return Ok(control::REFUSED);
    };
    let inode = file.inode()?;
    if !kernel::is_directory(inode.mode()?) {
        return Ok(control::REFUSED);
    }
    let generation = inode.generation()?;
    let root = Root {
        index,
        generation,
        reserved: 0,
    };
    let status = match ROOTS.insert(inode.address(), root, u64::from(BPF_ANY)) {
        Ok(()) => control::OK,
        Err(_) => control::REFUSED,
    };
    let answer = Reply {
        key: inode.key()?,
        inode: inode.address(),
        superblock: inode.superblock()?,
        generation,
        ..reply(process, status)
    };
    REPLY.set(0, answer, u64::from(BPF_ANY)).unwrap_or_default();
    Ok(status)
}
