//! Lists of flags in one argument or variable: for the linker, the compiler, the go command, and the C compiler.

use super::{MASK, assigned, go, has_value, is_variable, kept};

/// Switches of the linker.
const LINKER_SWITCHES: [&str; 14] = [
    "-s",
    "-w",
    "-v",
    "-a",
    "-n",
    "-c",
    "-d",
    "-f",
    "-g",
    "-h",
    "-race",
    "-msan",
    "-asan",
    "-linkshared",
];
/// Its flags whose values are plain.
const LINKER_PLAIN: [&str; 10] = [
    "-B",
    "-E",
    "-H",
    "-I",
    "-R",
    "-T",
    "-buildmode",
    "-compressdwarf",
    "-linkmode",
    "-checklinkname",
];
/// Switches of the compiler and the assembler.
const COMPILER_SWITCHES: [&str; 22] = [
    "-N", "-l", "-m", "-S", "-B", "-C", "-E", "-K", "-L", "-W", "-e", "-h", "-j", "-live", "-r",
    "-t", "-v", "-w", "-wb", "-dwarf", "-shared", "-race",
];
/// Their flags whose values are plain.
const COMPILER_PLAIN: [&str; 9] = [
    "-c",
    "-d",
    "-l",
    "-lang",
    "-m",
    "-std",
    "-trimpath",
    "-spectre",
    "-I",
];

/// Words as go separates them: by blanks, where a word may be quoted as a whole or begin a quotation.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut is_word = false;
    for character in text.chars() {
        match quote {
            Some(mark) if mark == character => quote = None,
            Some(_) => word.push(character),
            None if "'\"".contains(character) => {
                quote = Some(character);
                is_word = true;
            }
            None if character.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            None => {
                word.push(character);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

/// `pattern=` before a list of flags, if it is there, and the list, which begins with a flag.
fn patterned(text: &str) -> (String, &str) {
    let list = text.trim_start();
    let is_list = |list: &str| list.trim_start().starts_with(['-', '\'', '"']);
    match list.split_once('=') {
        Some((pattern, rest)) if !is_list(list) && is_list(rest) => {
            let pattern = kept(pattern).unwrap_or_else(|| MASK.to_owned());
            (format!("{pattern}="), rest)
        }
        _ if is_list(list) || list.is_empty() => (String::new(), list),
        _ => (MASK.to_owned(), ""),
    }
}

/// Of the linker: what `-X` links in is masked, its name is not.
pub(super) fn linker_flags(text: &str) -> String {
    let (pattern, list) = patterned(text);
    let mut out = Vec::new();
    let words = words(list);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let plain = word.strip_prefix('-').filter(|word| word.starts_with('-'));
        let word = plain.unwrap_or(word);
        match word.split_once('=') {
            _ if word == "-X" => {
                out.push("-X".to_owned());
                out.extend(rest.next().map(|setting| linked(setting)));
            }
            Some(("-X", setting)) => out.push(format!("-X={}", linked(setting))),
            Some((name, value)) => out.push(with_value(name, value, &LINKER_PLAIN)),
            None => out.push(alone(word, &LINKER_SWITCHES)),
        }
    }
    pattern + &out.join(" ")
}

/// Of the compiler or the assembler.
pub(super) fn compiler_flags(text: &str) -> String {
    let (pattern, list) = patterned(text);
    let mut out = Vec::new();
    let words = words(list);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.split_once('=') {
            _ if word == "-D" => {
                out.push("-D".to_owned());
                out.extend(rest.next().map(|setting| linked(setting)));
            }
            Some((name, value)) => out.push(with_value(name, value, &COMPILER_PLAIN)),
            None => out.push(alone(word, &COMPILER_SWITCHES)),
        }
    }
    pattern + &out.join(" ")
}

/// `GOFLAGS`: each word is a flag with its value.
pub(super) fn go_flags(text: &str) -> String {
    let one = |word: String| match word.split_once('=') {
        Some((name, value)) if name.starts_with('-') => {
            let flag = name.trim_start_matches('-');
            let dashes = name.get(..name.len() - flag.len()).unwrap_or_default();
            go::flag(dashes, flag, Some(value))
        }
        _ => match word.strip_prefix('-') {
            Some(flag) => go::flag("-", flag.trim_start_matches('-'), None),
            None => MASK.to_owned(),
        },
    };
    let words: Vec<String> = words(text).into_iter().map(one).collect();
    words.join(" ")
}

/// `CGO_CFLAGS` and the like: optimisation, warnings, directories and libraries; of definitions the name.
pub(super) fn c_flags(text: &str) -> String {
    let one = |word: String| {
        if let Some(definition) = word.strip_prefix("-D") {
            let name = Some(definition).filter(|name| is_variable(name));
            let name = name.map(str::to_owned).or_else(|| assigned(definition));
            return format!("-D{}", name.as_deref().unwrap_or(MASK));
        }
        let has_letter = ["-O", "-g", "-f", "-m", "-W", "-I", "-L", "-l", "-std"]
            .map(|letter| word.starts_with(letter));
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        let is_plain = kept(name).is_some() && kept(value).is_some();
        if has_letter.contains(&true) && is_plain {
            word
        } else {
            kept(&word)
                .filter(|word| !word.starts_with('-') && word.starts_with('/'))
                .unwrap_or_else(|| MASK.to_owned())
        }
    };
    let words: Vec<String> = words(text).into_iter().map(one).collect();
    words.join(" ")
}

/// `name=***`.
fn linked(setting: &str) -> String {
    let name = setting
        .split_once('=')
        .filter(|(_, value)| has_value(value));
    match name.and_then(|(name, _)| kept(name)) {
        Some(name) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    }
}

fn with_value(name: &str, value: &str, plain: &[&str]) -> String {
    let value = Some(value).filter(|_| plain.contains(&name)).and_then(kept);
    let is_name = name
        .strip_prefix('-')
        .is_some_and(|name| name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase()));
    let name = if is_name || plain.contains(&name) {
        name
    } else {
        MASK
    };
    format!("{name}={}", value.as_deref().unwrap_or(MASK))
}

fn alone(word: &str, switches: &[&str]) -> String {
    if switches.contains(&word) {
        return word.to_owned();
    }
    // Its value is the next word, which is no switch.
    let is_name = matches!(
        word,
        "-extldflags" | "-extld" | "-buildid" | "-linkmode" | "-tmpdir" | "-o"
    );
    if is_name {
        word.to_owned()
    } else {
        MASK.to_owned()
    }
}
