//! Whether this build has the defects. In the repository the answer is no. `jepsen-like/mutants/00-switch.patch` changes this
//! file in the copy of the work tree that all patches are applied to.

/// Whether the nodes of this build have the defects.
pub(super) const IN_THIS_BUILD: bool = false;

/// Switches on the defect of this name in every node of this process.
///
/// # Errors
/// The nodes of this build have no defects.
pub(super) fn activate(name: &str) -> Result<(), String> {
    Err(format!("the defect `{name}` is not in this build"))
}
