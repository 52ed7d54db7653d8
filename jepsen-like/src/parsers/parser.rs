//! One parser under test: its name, its property and its samples.

/// What a parser made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It is one of the parser's values.
    Accepted,
    /// It is not.
    Refused,
}

/// A reader of bytes from outside, with a property that holds for all bytes.
#[derive(Clone, Copy)]
pub struct Parser {
    /// Its name, `[a-z0-9_]+`. The target in `fuzz/` has the same.
    pub name: &'static str,
    /// Reads the bytes and checks the property. The error says how the property is violated.
    pub check: fn(&[u8]) -> Result<Reading, String>,
    /// Inputs to begin from. The parser accepts at least one of them.
    pub samples: fn() -> Vec<Vec<u8>>,
}

impl Parser {
    /// Checks the property.
    ///
    /// # Panics
    /// The property is violated, or the parser panics. libFuzzer takes either for a finding.
    pub fn run(&self, bytes: &[u8]) {
        let problem = (self.check)(bytes).err();
        assert!(problem.is_none(), "{}: {}", self.name, problem.unwrap_or_default());
    }
}
