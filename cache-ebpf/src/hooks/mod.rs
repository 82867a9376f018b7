//! Entry points, one small file per family: each finds its arguments and makes one call. What a hook of
//! one backend finds in a system call, the other finds in the VFS; the bodies are shared.

mod control;
mod process;
mod status;
mod syscalls;
mod vfs;
