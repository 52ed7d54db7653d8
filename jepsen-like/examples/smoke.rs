fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    #[allow(clippy::disallowed_methods)]
    let begun = std::time::Instant::now();
    for line in assent_jepsen::sim::run::smoke(args[0], args[1]) { println!("{line}"); }
    eprintln!("{:?}", begun.elapsed());
}
