//! Keeps the examples in the commands' help whole.
//!
//! Clap breaks every line of the text after the options at the width of the terminal, or at 100 characters if there is
//! no terminal. A command that is broken in two is two commands for a shell, and the second one may be the job that the
//! first one should guard. So the examples are part of the help's template, which clap prints as it is. Clap still
//! breaks the prose behind the examples.

use clap::Command;
use clap::builder::{Resettable, StyledStr};

/// Clap's own template, up to the examples.
const BEFORE_THE_EXAMPLES: &str =
    "{before-help}{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}\n\n";

/// The same command, whose help and whose subcommands' help have their examples as they are written.
pub(crate) fn with_whole_examples(command: Command) -> Command {
    let command = command.mut_subcommands(with_whole_examples);
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return command };
    let (examples, prose) = split(&text);
    let command = command.help_template(format!("{BEFORE_THE_EXAMPLES}{examples}{{after-help}}"));
    match prose {
        Some(prose) => command.after_help(prose.to_owned()),
        None => command.after_help(Resettable::<StyledStr>::Reset),
    }
}

/// The examples with which a text begins, and the prose behind them. The prose begins with the first line behind an
/// empty one that is not indented.
fn split(text: &str) -> (&str, Option<&str>) {
    for (at, gap) in text.match_indices("\n\n") {
        if let Some((examples, rest)) = text.split_at_checked(at)
            && let Some(prose) = rest.strip_prefix(gap)
            && !prose.starts_with(' ')
        {
            return (examples, Some(prose));
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// Calls `look` with each command as it is written, and with the same command as it is printed at this width.
    fn for_each(width: usize, look: &mut dyn FnMut(&Command, &mut Command)) {
        fn visit(written: &Command, printed: &mut Command, look: &mut dyn FnMut(&Command, &mut Command)) {
            look(written, printed);
            for inner in written.get_subcommands() {
                visit(inner, printed.find_subcommand_mut(inner.get_name()).unwrap(), look);
            }
        }
        let mut printed = with_whole_examples(Cli::command()).term_width(width);
        printed.build();
        visit(&Cli::command(), &mut printed, look);
    }

    /// The commands of the examples, each on one line.
    fn commands(examples: &str) -> Vec<String> {
        let joined = examples.replace(" \\\n    ", " ");
        let lines = joined.lines().filter(|line| line.starts_with("  ") && !line.ends_with(':'));
        lines.map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn every_example_is_printed_as_it_is_written_at_every_width() {
        let mut seen = 0;
        for width in [60, 80, 100] {
            for_each(width, &mut |written, printed| {
                let Some(text) = written.get_after_help().map(ToString::to_string) else { return };
                let (examples, prose) = split(&text);
                for help in [printed.render_long_help(), printed.render_help()] {
                    let help = help.to_string();
                    assert!(help.contains(&format!("\n\n{examples}\n")), "{width}:\n{help}");
                    let words = prose.and_then(|prose| prose.split_whitespace().next());
                    assert!(
                        words.is_none_or(|word| help.contains(&format!("\n\n{word}"))),
                        "{width}:\n{help}"
                    );
                }
                seen += commands(examples).len();
            });
        }
        assert!(seen > 150, "{seen}");
    }

    #[test]
    fn every_example_fits_in_eighty_columns_and_each_of_its_commands_is_whole() {
        for_each(80, &mut |written, _| {
            let Some(text) = written.get_after_help().map(ToString::to_string) else { return };
            let (examples, _) = split(&text);
            assert!(examples.starts_with("Example:\n  "), "{examples}");
            // A template would take a brace for a name.
            assert!(!examples.contains(['{', '}']), "{examples}");
            for line in examples.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
            for command in commands(examples) {
                let program = command.split(' ').next().unwrap();
                assert!(["assent", "openssl"].contains(&program), "{command}");
                assert!(!command.contains('\\'), "{command}");
            }
        });
    }

    #[test]
    fn a_job_stands_in_the_command_that_guards_it() {
        let mut guarded = Vec::new();
        for_each(60, &mut |_, printed| {
            let help = printed.render_long_help().to_string();
            guarded.extend(commands(&help).into_iter().filter(|line| line.contains("python3 job.py")));
        });
        let question =
            "--lineage job-1 --action run --subject-file job.py --trust node-keys.pem -- python3 job.py";
        let expected = ["authorize", "authorize", "permit", "watch"];
        assert_eq!(guarded, expected.map(|command| format!("assent {command} {question}")));
    }
}
