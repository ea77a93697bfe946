//! Prints every gRPC code with its HTTP status and whether it is a fault.

use tonic::Code;
use vitalmesh_status::{code_name, http_status, is_fault};

fn main() {
    println!("{:20} {:>4}  fault", "code", "HTTP");
    for code in (1..17).map(Code::from_i32) {
        println!(
            "{:20} {:>4}  {}",
            code_name(code),
            http_status(code),
            is_fault(code)
        );
    }
}
