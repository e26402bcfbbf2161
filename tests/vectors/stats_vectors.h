/* Made by make_stats_vectors.py. zeros, nan, inf, subnormal; min, max, mean, std, kurtosis; of rows and of columns: outliers, worst, its ratio */
    {"f32", DTYPE_F32, 630, 1, 2, 9, -0x1.ffe6200000000p+3, 0x1.0116a60000000p+6, 0x1.8323527cf854cp-14, 0x1.da7ab0ba389c0p-2, 0x1.d067d3cc2a191p+9, {1, 5, 0x1.d51abe47a7c63p+4}, {1, 17, 0x1.9e463ffcd2ffep+3}},
    {"f64", DTYPE_F64, 630, 1, 2, 0, -0x1.ffe6200000000p+3, 0x1.0116a60000000p+6, 0x1.8323527cf854cp-14, 0x1.da7ab0ba389c0p-2, 0x1.d067d3cc2a191p+9, {1, 5, 0x1.d51abe47a7c63p+4}, {1, 17, 0x1.9e463ffcd2ffep+3}},
    {"f16", DTYPE_F16, 639, 1, 2, 76, -0x1.0000000000000p+4, 0x1.0100000000000p+6, 0x1.830a00f620112p-14, 0x1.da798b1d8001ep-2, 0x1.d004efd84b6bfp+9, {1, 5, 0x1.d51640551cfb9p+4}, {1, 17, 0x1.9e2c424fab292p+3}},
    {"bf16", DTYPE_BF16, 630, 1, 2, 9, -0x1.0000000000000p+4, 0x1.0200000000000p+6, 0x1.85952c60c58eep-14, 0x1.da86f8f735db2p-2, 0x1.d46789d5b86abp+9, {1, 5, 0x1.d53afe9784e9dp+4}, {1, 17, 0x1.9eea3b407f164p+3}},
