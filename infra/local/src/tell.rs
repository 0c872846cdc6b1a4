//! Output for people. When nobody reads any more (`| head`, a closed terminal), `println!` would panic; the stack
//! must go on.

/// Prints a line on standard output.
macro_rules! say {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*)));
    }};
}

/// Prints a warning on standard error: something went wrong and is being handled.
macro_rules! caution {
    ($($text:tt)*) => {{
        let _ = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("warning: {}\n", format_args!($($text)*)),
        );
    }};
}

pub(crate) use {caution, say};
