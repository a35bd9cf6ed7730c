fn main() -> std::process::ExitCode {
    asterguard::main()
}
