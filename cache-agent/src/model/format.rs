//! Figures as people read them.

use bytesize::ByteSize;

/// In IEC units.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// With its sign.
pub fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { '-' } else { '+' };
    format!("{sign}{}", size(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_growth_has_its_sign() {
        for (bytes, expected) in [
            (0, "+0 B"),
            (1, "+1 B"),
            (-91, "-91 B"),
            (1536, "+1.5 KiB"),
            (-3 << 30, "-3.0 GiB"),
        ] {
            assert_eq!(signed(bytes), expected);
        }
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }
}
