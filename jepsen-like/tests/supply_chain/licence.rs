//! Licence expressions in the form of SPDX.

/// Whether these licences are enough for the expression: one side of each `OR`, both sides of each `AND`. A licence
/// with an exception (`Apache-2.0 WITH LLVM-exception`) is a licence of its own. Old manifests write `/` for `OR`.
pub(crate) fn is_allowed(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words, allowed };
    let verdict = reader.any_of();
    match (verdict, reader.words.first()) {
        (Some(verdict), None) => Ok(verdict),
        (_, Some(word)) => Err(format!("`{expression}` is no licence expression: `{word}` is not expected")),
        (None, None) => Err(format!("`{expression}` is no licence expression: it ends too early")),
    }
}

/// The licences in an expression, each with its exception.
pub(crate) fn named(expression: &str) -> Vec<String> {
    let spaced = expression.replace(['/', '(', ')'], " OR ");
    let parts = spaced.split(" OR ").flat_map(|part| part.split(" AND "));
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

struct Reader<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Reader<'_> {
    /// Takes this word, if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any_of(&mut self) -> Option<bool> {
        let mut verdict = self.all_of()?;
        while self.takes("OR") {
            verdict |= self.all_of()?;
        }
        Some(verdict)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.takes("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.takes("(") {
            let verdict = self.any_of()?;
            return self.takes(")").then_some(verdict);
        }
        let mut licence = self.name()?;
        if self.takes("WITH") {
            licence = format!("{licence} WITH {}", self.name()?);
        }
        Some(self.allowed.contains(&licence))
    }

    fn name(&mut self) -> Option<String> {
        let (name, rest) = self.words.split_first()?;
        if ["OR", "AND", "WITH", "(", ")"].contains(name) {
            return None;
        }
        self.words = rest;
        Some((*name).to_owned())
    }
}

#[test]
fn a_choice_needs_one_allowed_licence_and_a_sum_needs_all() {
    let allowed = ["MIT", "Apache-2.0", "ISC"].map(str::to_owned);
    for enough in [
        "MIT",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only/MIT",
        "Apache-2.0 / GPL-3.0-only",
        "ISC AND (GPL-3.0-only OR MIT)",
        "GPL-3.0-only OR ISC AND MIT",
        "Apache-2.0 WITH LLVM-exception OR MIT",
    ] {
        assert_eq!(is_allowed(enough, &allowed), Ok(true), "{enough}");
    }
    for lacking in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR ISC) AND GPL-3.0-only",
        "GPL-3.0-only OR ISC AND BSD-3-Clause",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert_eq!(is_allowed(lacking, &allowed), Ok(false), "{lacking}");
    }
    for broken in ["", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT ISC", "MIT WITH", "()"] {
        assert!(is_allowed(broken, &allowed).is_err(), "{broken}");
    }
    let expression = "ISC AND (Apache-2.0 WITH LLVM-exception OR MIT)";
    assert_eq!(named(expression), ["ISC", "Apache-2.0 WITH LLVM-exception", "MIT"]);
}
