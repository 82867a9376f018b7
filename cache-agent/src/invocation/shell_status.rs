//! Exit statuses as people know them.

/// Exit status as a shell gives it, from what `wait` tells.
pub(super) fn shell_status(status: u32) -> i32 {
    let signal = status & 0x7f;
    let code = if signal == 0 {
        status >> 8 & 0xff
    } else {
        128 + signal
    };
    code.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        for (status, expected) in [(0, 0), (3 << 8, 3), (9, 137), (15 | 0x80, 143)] {
            assert_eq!(shell_status(status), expected, "{status:#x}");
        }
    }
}
