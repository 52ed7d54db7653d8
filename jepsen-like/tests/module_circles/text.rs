//! Rust source text as words and signs, without what names nothing and without code that only tests have.

/// How many characters the comment, literal or lifetime at the beginning takes, if there is one.
fn skipped(rest: &[char]) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => Some(block_comment(rest)),
        ['"', ..] => Some(string(rest, 0)),
        ['b', '"', ..] => Some(string(rest, 1)),
        ['b', '\'', ..] => Some(1 + quoted(&rest[1..])),
        ['\'', ..] => Some(quoted(rest)),
        ['r', ..] => raw_string(rest, 1),
        ['b', 'r', ..] => raw_string(rest, 2),
        _ => None,
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut open) = (0, 0_usize);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                open += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                open -= 1;
                at += 2;
                if open == 0 {
                    break;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn string(rest: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// A character's literal, or a lifetime.
fn quoted(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, more @ ..] => 4 + more.iter().take_while(|c| **c != '\'').count(),
        ['\'', _, '\'', ..] => 3,
        _ => 1 + rest[1..].iter().take_while(|c| is_letter(**c)).count(),
    }
}

fn raw_string(rest: &[char], prefix: usize) -> Option<usize> {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let begin = prefix + hashes + 1;
    if rest.get(begin - 1) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let length = rest[begin..].windows(end.len()).position(|window| window == end).unwrap();
    Some(begin + length + end.len())
}

fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a token is a name or a keyword.
pub(super) fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The words and signs of a text, without its comments, literals and lifetimes.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        if let Some(length) = skipped(rest) {
            at += length;
            continue;
        }
        let word = rest.iter().take_while(|c| is_letter(**c)).count();
        let length = match rest {
            _ if word > 0 => word,
            [':', ':', ..] => 2,
            _ => 1,
        };
        if !rest[0].is_whitespace() {
            found.push(rest[..length].iter().collect());
        }
        at += length;
    }
    found
}

/// Where the group ends that opens at `open`: behind its last sign.
pub(super) fn group_end(tokens: &[String], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    tokens.len()
}

/// Where the item ends that begins at `from`.
fn item_end(tokens: &[String], from: usize) -> usize {
    let mut before_group = tokens[from..].iter().take_while(|token| *token != "{" && *token != ";");
    let is_import = before_group.any(|token| token == "use");
    let mut at = from;
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" => return at + 1,
            "{" if !is_import => return group_end(tokens, at),
            "(" | "[" | "{" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Without attributes, and without what only tests have. The names of modules that only tests have go to `of_tests`.
pub(super) fn without_tests(tokens: &[String], of_tests: &mut Vec<String>) -> Vec<String> {
    let is_attribute = |at: usize| tokens[at] == "#" && tokens.get(at + 1).is_some_and(|next| next == "[");
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !is_attribute(at) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = group_end(tokens, at + 1);
        let only_in_tests = tokens[at + 2..end - 1].join("") == "cfg(test)";
        at = end;
        if only_in_tests {
            while at < tokens.len() && is_attribute(at) {
                at = group_end(tokens, at + 1);
            }
            let end = item_end(tokens, at);
            if let [.., keyword, name, last] = &tokens[at..end]
                && keyword == "mod"
                && last == ";"
            {
                of_tests.push(name.clone());
            }
            at = end;
        }
    }
    kept
}
