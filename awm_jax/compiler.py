"""Settings of XLA that pay for single frames and for training."""

PLAIN_PRODUCTS = {"xla_cpu_experimental_ynn_fusion_type": ""}
"""Compiler options under which XLA:CPU leaves its products to Eigen.

YNNPACK lays out all weights anew for every product. With few rows that is most of the time (1.4
times a windowed frame of production size), and in training, where weights change, it never pays.
"""
