"""A match as a session on a Solana rollup: accounts, BOLT, our program, the crank, its clients."""
