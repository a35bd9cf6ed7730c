//! Questions to the person at the terminal.

use std::io::Write as _;

/// Asks the person at the terminal a question.
pub fn agreed(question: &str) -> bool {
    ask_person(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Writes a question to standard error.
pub fn ask_person(question: &str) {
    let mut stderr = anstream::stderr().lock();
    // Where nobody can read it, nobody answers either.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
}
