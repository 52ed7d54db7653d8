//! Randomness. This module has the only call to the system's generator in the node.

/// Fills buffers with unpredictable bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Overwrites all of `buffer`.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealEntropy;

impl Entropy for RealEntropy {
    /// # Panics
    ///
    /// If the operating system has no randomness. Store ids and salts must never be predictable, so the node cannot
    /// go on.
    fn fill(&self, buffer: &mut [u8]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the environment's entropy, the one place that reads it"
        )]
        let filled = getrandom::fill(buffer);
        #[expect(
            clippy::expect_used,
            reason = "without randomness a node must not run; predictable ids would be unsafe"
        )]
        filled.expect("the operating system gives randomness");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reads_differ() {
        let (mut a, mut b) = ([0u8; 32], [0u8; 32]);
        RealEntropy.fill(&mut a);
        RealEntropy.fill(&mut b);
        assert_ne!(a, b);
    }
}
