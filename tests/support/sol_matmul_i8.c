/* The rollup's system call as a function of the program, for tests: its sums wrap around at 32 bits
 * as the reference's do. It says how many rows and columns it was called with, and, at its start and
 * end, what is left to spend, so that what it takes here can be told from what the call would. */
extern void sol_log_(const char *text, unsigned long n);
extern void sol_log_64_(unsigned long a, unsigned long b, unsigned long c, unsigned long d,
                        unsigned long e);
extern void sol_log_compute_units_(void);

__attribute__((noinline)) unsigned long sol_matmul_i8(const signed char *w, const signed char *x,
                                                      int *out, unsigned long rows,
                                                      unsigned long cols) {
#ifdef AWM_COUNT_UNITS
  sol_log_("sol_matmul_i8", 13);
  sol_log_compute_units_();
  sol_log_64_(rows, cols, 0, 0, 0);
#endif
  for (unsigned long i = 0; i < rows; i++, w += cols) {
    unsigned int sum = 0;
    for (unsigned long j = 0; j < cols; j++) sum += (unsigned int)(w[j] * x[j]);
    out[i] = (int)sum;
  }
#ifdef AWM_COUNT_UNITS
  sol_log_("products", 8);
  sol_log_compute_units_();
#endif
  return 0;
}
