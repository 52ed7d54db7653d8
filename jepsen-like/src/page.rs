//! Runs the commands of documentation pages: fenced blocks marked `sh` are commands, and blocks marked `text` are
//! lines that the commands before them must print. `…` in such a line stands for text that differs from run to run. A
//! block marked `sh tls` is what a reader pastes too whose cluster speaks TLS. On any other cluster it is left out.

use std::process::Command;

use crate::binary::binary;
use crate::dev_process::DevProcess;
use crate::error::HarnessError;

/// The longest time that the commands of a page may take, in seconds.
const PAGE_WITHIN_S: &str = "180";

/// A block of a page.
enum Block<'a> {
    Commands(&'a str),
    Answers(&'a str),
}

fn blocks(page: &str, has_tls: bool) -> Vec<Block<'_>> {
    page.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| {
            let (mark, text) = block.split_once('\n')?;
            match mark {
                "sh" => Some(Block::Commands(text)),
                "sh tls" if has_tls => Some(Block::Commands(text)),
                "text" => Some(Block::Answers(text)),
                _ => None,
            }
        })
        .collect()
}

/// Runs a page's commands against a cluster, in one shell, as if a person had pasted them. Returns everything that
/// they printed.
///
/// # Errors
/// Which command failed, or which answer is missing.
pub async fn run_page(cluster: &impl AsRef<DevProcess>, page: &str) -> Result<String, HarnessError> {
    let log = cluster.as_ref().log();
    let exports: Vec<String> =
        log.lines().filter(|line| line.starts_with("export ")).map(str::to_owned).collect();
    let has_tls = exports.iter().any(|line| line.starts_with("export ASSENT_CA="));
    play(&exports.join("\n"), page, has_tls).await
}

/// Runs a page that starts its own nodes, in one shell and in an empty folder. The processes that the page leaves in
/// the background are stopped at its end. Returns everything that the commands printed.
///
/// # Errors
/// Which command failed, or which answer is missing.
pub async fn run_walk(page: &str) -> Result<String, HarnessError> {
    play("trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT", page, false).await
}

/// Runs `before` and then a page's commands, with those that are for TLS alone if `has_tls`.
async fn play(before: &str, page: &str, has_tls: bool) -> Result<String, HarnessError> {
    let home = tempfile::tempdir().map_err(HarnessError::io("making a directory"))?;
    let binary = binary()?;
    let folder = binary.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let mut script = format!("set -euo pipefail\nexport PATH=\"{folder}:$PATH\"\n{before}\n");
    let blocks = blocks(page, has_tls);
    for (number, block) in blocks.iter().enumerate() {
        if let Block::Commands(text) = block {
            script.push_str(&format!("echo '== block {number}'\n{text}"));
        }
    }
    let directory = home.path().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        // If a page waits for something that never comes, `timeout` ends it together with everything that it started.
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after=5", PAGE_WITHIN_S, "bash", "-c"]).arg(format!("exec 2>&1\n{script}"));
        shell.current_dir(directory).output()
    });
    let output = ran
        .await
        .map_err(|error| HarnessError::Unexpected(error.to_string()))?
        .map_err(HarnessError::io("running a page"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(HarnessError::Unexpected(format!("{}\n{printed}", output.status)));
    }
    let mut last = 0;
    for (number, block) in blocks.iter().enumerate() {
        match block {
            Block::Commands(_) => last = number,
            Block::Answers(lines) => {
                let from = printed.split(&format!("== block {last}\n")).nth(1).unwrap_or_default();
                let answered = from.split("\n== block ").next().unwrap_or_default();
                for line in lines.lines() {
                    if !answered.lines().any(|found| matches(line, found)) {
                        let problem = format!("block {last} did not print `{line}`, but:\n{answered}");
                        return Err(HarnessError::Unexpected(problem));
                    }
                }
            }
        }
    }
    Ok(printed)
}

/// Whether a line has the expected parts, in order.
fn matches(expected: &str, found: &str) -> bool {
    let mut rest = found;
    expected.split('…').all(|part| match rest.split_once(part.trim()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_line_matches_by_its_parts_in_order() {
        assert!(matches("node 4 at … is a learner", "node 4 at 127.0.0.1:7450 is a learner"));
        assert!(matches("allow", "allow"));
        assert!(!matches("4 … 5", "5 and 4"));
        assert!(!matches("node 4 is a voter", "node 5 is a voter"));
    }
}
