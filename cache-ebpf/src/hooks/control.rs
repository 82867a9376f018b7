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
    detail,
    hooks::process,
    kernel::{self, Read, Task},
    ledger,
    maps::{REPLY, ROOTS},
};

/// Operation and arguments as in `cache_ebpf::control`; the answer is in `REPLY`.
#[raw_tracepoint]
fn control(ctx: RawTracePointContext) -> i32 {
    let (operation, first, second, third, fourth): (u64, u64, u64, u64, u64) =
        (ctx.arg(0), ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.arg(4));
    match answer(operation, first, second, third, fourth) {
        Ok(reply) => {
            if operation == control::REGISTER {
                debug!(
                    &ctx,
                    "root {}: inode {} on device {}", second, reply.key.ino, reply.key.dev
                );
            }
            REPLY.set(0, reply, u64::from(BPF_ANY)).unwrap_or_default();
        }
        Err(fault) => {
            error!(
                &ctx,
                "control operation {} failed: fault {}", operation, fault.0
            );
            detail::fault(fault);
        }
    }
    0
}

#[inline(always)]
fn answer(operation: u64, first: u64, second: u64, third: u64, fourth: u64) -> Read<Reply> {
    let process = Task::current().process()?;
    match operation {
        control::REGISTER => register(process, first, second as u32),
        control::SEED_OPEN => {
            let opener = ProcessKey {
                start_ns: third,
                tgid: second as u32,
                pad: 0,
            };
            let seeded = match Task::current().file(first)? {
                Some(file) => ledger::seed(file, opener)?,
                None => false,
            };
            Ok(reply(process, seeded))
        }
        control::SWEEP => {
            process::settle(&NOBODY);
            Ok(reply(process, true))
        }
        control::CREDIT => Ok(reply(
            process,
            account::credit_account(first, second, third, fourth) == 1,
        )),
        control::IDENTIFY => Ok(reply(process, true)),
        _ => Ok(reply(process, false)),
    }
}

#[inline(always)]
fn reply(process: ProcessKey, done: bool) -> Reply {
    let status = if done { control::OK } else { control::REFUSED };
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

#[inline(always)]
fn register(process: ProcessKey, fd: u64, index: u32) -> Read<Reply> {
    let Some(file) = Task::current().file(fd)? else {
        return Ok(reply(process, false));
    };
    let inode = file.inode()?;
    if !kernel::is_directory(inode.mode()?) {
        return Ok(reply(process, false));
    }
    let (key, generation) = (inode.key()?, inode.generation()?);
    let done = ROOTS
        .insert(
            inode.address(),
            Root {
                index,
                generation,
                reserved: 0,
            },
            u64::from(BPF_ANY),
        )
        .is_ok();
    Ok(Reply {
        key,
        inode: inode.address(),
        superblock: inode.superblock()?,
        generation,
        ..reply(process, done)
    })
}
