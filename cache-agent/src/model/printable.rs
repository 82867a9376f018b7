//! Text of observed users on its way to people.

/// Names come from observed users: control characters are escaped before they reach a terminal.
pub fn printable(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for character in String::from_utf8_lossy(name).chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
