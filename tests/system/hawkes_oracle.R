# Independent oracle for the Hawkes log-likelihood and its gradient: base R, the O(N^2) definition, no shared code.
# Usage: Rscript hawkes_oracle.R events.csv theta.csv end_s
#   events.csv: time_s, side (0 buy, 1 sell); theta.csv: one row per parameter set
#   (lambda_base, alpha_self, alpha_cross, beta, gamma). Prints log-likelihood and five derivatives per row.
arguments <- commandArgs(trailingOnly = TRUE)
events <- read.csv(arguments[1])
thetas <- read.csv(arguments[2])
end_s <- as.numeric(arguments[3])

evaluate <- function(mu, alpha_self, alpha_cross, beta, gamma) {
  value <- -2 * mu * end_s
  slope <- c(-2 * end_s, 0, 0, 0, 0)
  for (i in seq_len(nrow(events))) {
    before <- which(events$time_s < events$time_s[i])
    shifted <- beta + events$time_s[i] - events$time_s[before]
    same <- events$side[before] == events$side[i]
    alpha <- ifelse(same, alpha_self, alpha_cross)
    kernel <- shifted^(-gamma)
    intensity <- mu + sum(alpha * kernel)
    value <- value + log(intensity)
    slope <- slope + c(
      1, sum(kernel[same]), sum(kernel[!same]),
      sum(-gamma * alpha * kernel / shifted), sum(-alpha * kernel * log(shifted))
    ) / intensity
  }
  g <- gamma - 1
  left <- end_s - events$time_s
  far <- beta + left
  mass <- (beta^(-g) - far^(-g)) / g
  total <- alpha_self + alpha_cross
  value <- value - total * sum(mass)
  mass_beta <- far^(-gamma) - beta^(-gamma)
  mass_gamma <- (far^(-g) * log(far) - beta^(-g) * log(beta)) / g - mass / g
  slope <- slope - c(0, sum(mass), sum(mass), total * sum(mass_beta), total * sum(mass_gamma))
  c(value, slope)
}

for (row in seq_len(nrow(thetas))) {
  theta <- as.list(thetas[row, ])
  out <- evaluate(theta$lambda_base, theta$alpha_self, theta$alpha_cross, theta$beta, theta$gamma)
  cat(sprintf("%.17g", out), sep = " ")
  cat("\n")
}
