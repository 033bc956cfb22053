"""The progressive GAN: networks, losses, schedule, trainer."""
