// How the threads of a kernel share its work. Each result is computed by one thread in an order that does not depend on
// which thread it is: runs are repeatable bit for bit.

/** Takes the next piece of work from the counter that the pool sets to zero before every kernel. */
// @ts-ignore: decorator
@inline export function claim(counter: usize): i32 {
  return atomic.add<i32>(counter, 1);
}

// @ts-ignore: decorator
@inline export function ceilDivide(a: i32, b: i32): i32 {
  return (a + b - 1) / b;
}

// @ts-ignore: decorator
@inline export function smaller(a: i32, b: i32): i32 {
  return a < b ? a : b;
}
