//! The table for people, on stderr.

use super::{Figure, Measured, Program};

pub(super) fn print(measured: &Measured, unit: &str) {
    let Measured {
        backend,
        calls,
        programs,
        figures,
    } = measured;
    eprintln!(
        "\nbackend {backend}, {unit} of one call, mean of {calls}; open and rest are on top of empty"
    );
    eprintln!(
        "{:>5}  {:<10} {:<7} {:>8} {:>8} {:>8}",
        "roots", "place", "access", "empty", "open", "rest"
    );
    for Figure {
        roots,
        place,
        access,
        empty,
        open,
        rest,
    } in figures
    {
        eprintln!("{roots:>5}  {place:<10} {access:<7} {empty:>8.1} {open:>8.1} {rest:>8.1}");
    }
    eprintln!(
        "\n{:<20} {:>12} {:>10} {:>13}",
        "program as loaded", "instructions", "verified", "machine code"
    );
    let number = |count: &Option<u32>| count.map_or("-".to_owned(), |count| count.to_string());
    for Program {
        name,
        instructions,
        verified_instructions,
        machine_code_bytes,
    } in programs
    {
        eprintln!(
            "{name:<20} {:>12} {:>10} {machine_code_bytes:>11} B",
            number(instructions),
            number(verified_instructions)
        );
    }
}
